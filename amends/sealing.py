"""The sagas of the applications that the settings name."""

from amends.application import App, load_applications
from amends.settings import Settings, read_settings
from sagas.seal import Sealed


def seal_all(settings: Settings) -> tuple[list[App], dict[str, Sealed]]:
    """The applications that the settings name, and their sagas sealed, by name.

    Raises:
        DefinitionError: one does not hold together. SettingsError: a setting of an application is malformed.
    """
    applications = load_applications(settings.sagas)
    for application in applications:
        if application.settings is not None:
            read_settings(application.settings)
    return applications, {
        one.name: one.seal(settings.defaults)
        for application in applications
        for saga in application.sagas
        for one in saga.family()
    }

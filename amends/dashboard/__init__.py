"""The dashboard comes with a later version; until then `amends saga` and `amends explain` tell the same."""

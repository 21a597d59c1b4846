"""The application's sagas: the analysis of a document, and the approval of a plan."""

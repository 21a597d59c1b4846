"""Events and their JSON form."""

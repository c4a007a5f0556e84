"""What each operation of the API takes and answers: one module for each family of routes."""

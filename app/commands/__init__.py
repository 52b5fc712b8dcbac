"""Commands of the operator, by what they are about: `flask backup | channel | files | keys | mail | retention …`."""

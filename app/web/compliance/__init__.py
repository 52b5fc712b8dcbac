"""The registers of compliance: requests about personal data, and data breaches."""

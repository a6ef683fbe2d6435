"""`kale-pool rehearse`: farms a few blocks with the real services, and holds them against what was predicted."""

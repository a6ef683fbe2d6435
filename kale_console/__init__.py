"""`kale-pool`: looks at a farm from outside, without any key, and says what could be earned on it."""

"""What a user does, one page per action: generate, sample a world."""

"""What knows nothing of rewards: the parts every domain stands on."""

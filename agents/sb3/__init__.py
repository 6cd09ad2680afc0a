"""stable-baselines3 and sb3-contrib: algorithms, policies, and the environments as they want them."""

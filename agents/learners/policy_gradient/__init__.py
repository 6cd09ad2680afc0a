"""Policy gradients over Plackett–Luce slates: PPO over candidates or the catalogue, and top-K REINFORCE."""

"""What every slate learner needs: inputs, networks, distributions over slates, the best slate."""

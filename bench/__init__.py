"""Speed as ratios: each row runs what it measures and what it is measured against in turn, in one go."""

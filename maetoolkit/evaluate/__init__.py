"""What a trained model can do, for people: reconstructions, errors beside baselines, curves and the report."""

"""The masked autoencoder: encoder, decoders, objective, and the five verbs that join them."""

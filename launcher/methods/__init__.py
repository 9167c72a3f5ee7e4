"""Training methods (`trainer.kind`): one spec per module, without torch. Their side on the ranks is launcher/train/methods/."""

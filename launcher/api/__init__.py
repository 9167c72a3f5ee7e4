"""An API of OpenAI's shape on one's own cluster: files, fine-tuning jobs that are runs of this launcher, and chat."""

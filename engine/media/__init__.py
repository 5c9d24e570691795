"""Reading and writing of video, audio and images. Knows nothing of projects."""

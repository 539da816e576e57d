"""What will go wrong with a video, said in seconds, before anybody spends an hour: `make check VIDEO=path`."""

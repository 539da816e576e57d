"""`make bench`: how fast training, rendering and tracking are on this machine, and what that is of what it could do."""

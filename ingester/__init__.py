"""From the network to the centre: frames in, proven decisions out."""

"""Vision neurons over drawn factors: an object in front of a scene, its style, hue and place, all chosen."""

"""How a scene becomes a picture: what each pixel sees, and the colours of the game and the camera."""

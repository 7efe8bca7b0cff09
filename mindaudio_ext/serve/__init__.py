"""`mindaudio-separate --serve`: a page in the browser; a recording in, its voices to see, hear and keep."""

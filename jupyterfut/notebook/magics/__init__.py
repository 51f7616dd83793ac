"""The magics of `%load_ext jupyterfut` beside `%%submit`, one module each: `%submit`, `%%everywhere`, `%gather`, `%cluster`, `%futures`."""

"""How a first config is written: what lies in the working folder, and the text of the config."""

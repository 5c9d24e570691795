"""Videos that are cut into scenes, without the screens that show them."""

"""Publishing: dirty feeds become documents."""

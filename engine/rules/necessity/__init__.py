"""Medical necessity."""

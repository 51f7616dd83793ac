"""What tasks say, under the cell that submitted them."""

"""What rules and classifier say of a comment, how good they are, and what people teach them."""

"""The spoken-scenes corpus that this software makes itself."""

"""The suffixes by which a file in a folder counts as audio, in lower case; what it is, its bytes say."""

SUFFIXES = frozenset(
    {
        *(".wav", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".caf"),
        *(".aiff", ".aif", ".aifc", ".au", ".snd", ".sph", ".nist", ".wv1", ".wv2"),  # the last two of the WSJ corpora
    }
)
"""Of formats that are read."""

UNREAD_SUFFIXES = frozenset(
    {
        *(".m4a", ".m4b", ".mp4", ".aac", ".wma", ".amr", ".awb", ".3gp", ".webm", ".mka", ".wv", ".ape", ".ra"),
        *(".voc", ".dss", ".ds2", ".raw", ".pcm"),
    }
)
"""Of others, which phones and recorders write: such files are told, as they would be missed."""

"""The ten models released in 2020: lineages, published scores, and checksums and addresses of the archives."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq.files import open_regular

ARGUMENTS, PROGRESS = "args.pkl", "progress.pkl"
AUDIO, IMAGE = "models/best_audio_model.pth", "models/best_image_model.pth"
"""Files in the folder of a released experiment."""


class Archive(NamedTuple):
    """One released model."""

    lineage: str
    recall_at_10: float
    """As published: mean of both directions on the validation split of Places Audio, 1,000 pairs."""
    md5: str
    file_id: str
    """On Google Drive."""


ARCHIVES = (
    Archive("{}", 0.735, "e3f94990c72ce9742c252b2e04f134e4", "1J-tw3eg3R5e9k0vIfQaBVKiaHyOJUcIB"),
    Archive("{}->{2}", 0.760, "d8ebaabaf882632f49f6aea0a69516eb", "1MhC6PCkt7DBQvWTvf-c_ru4HSHmSb9AP"),
    Archive("{}->{3}", 0.794, "2c3a269c70005cbbaaa15fc545da93fa", "1bmFQeP_BCQ5wvq8yutqQzUmwRr5iHnCf"),
    Archive("{}->{2,3}", 0.787, "d0764d8e97187c8201f205e32b5f7fee", "1mQW2Sh_FCDWaHYi-02XzocQObtnAZDc7"),
    Archive("{2}", 0.753, "d68c942069fcdfc3944e556f6af79c60", "1vGF8DCvsT3Gy-31nn5cYmD4dqrgzmQTF"),
    Archive("{2}->{2,3}", 0.764, "09e704f8fcd9f85be8c4d5bdf779bd3b", "1pOSQ1LLmcj0DJPSyBWxsqiFAfBYZi7Vd"),
    Archive("{2}->{2,3}->{2,3,4}", 0.793, "6e403e7f771aad0c95f087318bf8447e", "1k41E7MP_LRTzPD0XwTHNzEBbiv05Ali7"),
    Archive("{3}", 0.734, "a0a3d5adbbd069a2739219346c8a8f70", "1yCtGdYrL8K-RaRN1PMdf_MKogFSnXkue"),
    Archive("{3}->{2,3}", 0.760, "6c92bcc4445895876a7840bc6e88892b", "1K23y5u4K14gMycP9XhkwTGWN-GHNCcYA"),
    Archive("{2,3}", 0.667, "7a98a661302939817a1450d033bc2fcc", "1JHHgJ0wDlFs9Ol1Wo4kco7HSjc4zTy_Y"),
)


def md5_of(path: Path) -> str:
    """The MD5 of a file, in hexadecimal. Raises InputError if it does not exist or is no regular file."""
    with open_regular(path) as f:
        return hashlib.file_digest(f, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

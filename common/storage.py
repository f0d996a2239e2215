"""Error numbers of file systems, and remedies for them."""

import errno

NOT_OFFERED = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.EXDEV, errno.ENOTTY}
)
"""The file system does not support the operation (network shares, object stores)."""

GONE = frozenset(
    {
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EREMOTEIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENODEV,
        errno.ENXIO,
    }
)
"""The server or the device of the folder is gone."""

LOST = GONE | {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Data could not be stored."""

_REMEDIES = {
    errno.ENOSPC: "free some space on the disk behind it",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EROFS: "mount the output folder writable",
    errno.EACCES: "let the container's user write there (docker run --user)",
    errno.ENOENT: "mount an output folder there",
    **dict.fromkeys(GONE, "check that it is mounted and that its server answers"),
    **dict.fromkeys(
        NOT_OFFERED,
        "let the container's user write there (docker run --user), on a mount where files can"
        " be replaced and removed (an object store must allow overwriting and deleting)",
    ),
}


def remedy(error: OSError) -> str:
    """Return what a user can do about an error of a write."""
    return _REMEDIES.get(error.errno or 0, "check the disk behind it")

"""Forms that live."""


def show(obj: object) -> None:
    raise NotImplementedError

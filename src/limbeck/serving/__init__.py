"""`limbeck serve`: a student behind HTTP, alone or with its teacher for what it is unsure of. No torch.

Beside it `limbeck browser`, a page that runs a student without a server, and `limbeck demo`, one on which it answers beside its teacher.

A modality joins with a module ``serve`` in its folder, which stands alone as its ``predict`` does, and offers:

``FILES``: bool
    Whether an example is uploaded as a file; otherwise it is a JSON value.
``EXAMPLE``, ``MEASURE``, ``LARGEST``: str, str, int
    What an example is called, what its size is counted in, and the largest that is taken where nothing else is said.
``NEEDS``: tuple[str, ...]
    The packages that it imports, for a container.
``TooLarge``: a ``ValueError``
    What an example that is too large is refused with.

``opened(path, *, largest=LARGEST) -> Opened``
    An exported model, loaded once, tried on one example. Has ``name``, and ``takes``: what a JSON instance is, in words.
    ``ValueError`` where it cannot be used.
``beside(opened) -> list[str]``
    Names of the files without which the model's own is of no use, in the same folder.
``read(opened, given, number) -> input``
    What an uploaded file's bytes, or a JSON value, become. ``ValueError`` with a sentence that calls it by its number, counted
    from 1. Called in several threads at a time.
``ask(opened, inputs) -> array (B, ...)``
    What the model answers to several at once. ``ValueError`` where it answers nothing. Called in one thread at a time.
``told(opened, answer, top) -> dict``
    One answer as JSON says it.
``sureness(opened, answers) -> array (B,) or None``
    How sure the model is of each, as :mod:`limbeck.evaluation.escalation` says it; None where its answers do not tell.
"""

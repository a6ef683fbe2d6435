"""What can end the lifeboat before its work is done.

LifeboatError
├── FarmersError     the list of farmers cannot be used
└── FundsError       the fee account cannot pay
"""


class LifeboatError(Exception):
    """Base of everything this package raises; its text is one line that says what to do."""


class FarmersError(LifeboatError):
    """The list of farmers cannot be read, is empty, or holds what is no address."""


class FundsError(LifeboatError):
    """The fee account does not exist, or holds too little XLM."""

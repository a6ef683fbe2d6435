"""What can be wrong before a service starts.

ConfigError    a setting is missing, malformed or contradicts another
"""

EXIT_CONFIG = 2


class ConfigError(Exception):
    """A setting is missing, malformed or contradicts another; the service must not start.

    Its text is one line that names the environment variable and never repeats a secret.

    Attributes:
        variable: The environment variable to change, or None if there are several.
        problem: What is wrong with it and what to do.
    """

    def __init__(self, variable: str | None, problem: str) -> None:
        super().__init__(problem if variable is None else f"{variable}: {problem}")
        self.variable = variable
        self.problem = problem

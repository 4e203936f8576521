"""edgemon answers: does this device still deliver the inference it was validated for, and if not, why?"""

__version__ = "0.1.0"

"""The tasks an application registers (handlers with their policies) and the outcomes of attempts (outcome, error
entry).

In: functions, classes and what handlers return or raise. Out: a registry of tasks, and one outcome an attempt. Pure.
"""

"""What an application registers (handlers with their policies) and what becomes of an attempt (outcome, error entry).

In: functions, classes and what handlers return or raise. Out: a registry of tasks, and one outcome an attempt. Pure.
"""

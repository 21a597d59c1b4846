"""The shipped application: marketplace analyses that are approved and become tasks.

Written as any user would: it imports nothing but `amends`.
"""

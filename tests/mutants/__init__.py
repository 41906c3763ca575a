"""Mutation testing: which small change of our code would no test notice? (`make mutants`, design record 0153)"""

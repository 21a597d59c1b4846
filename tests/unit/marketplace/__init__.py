"""Tests of the shipped application without servers."""

"""Tests of kind: acceptance."""

"""Things with a memory, beside models that say what they remember: any steps in any order."""

"""The public SQL contract: what is promised is kept, and a change that breaks it is seen."""

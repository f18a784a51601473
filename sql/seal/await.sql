-- Wait until the step that is being sealed at this moment has ended. The mode conflicts
-- with the sealer's, not with itself. Ends with its transaction, which must be its own:
-- while it is held, nothing is sealed.
lock table only awa.seal_lock in share mode;

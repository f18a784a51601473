"""Other queues, each behind the same few verbs, and Awa itself behind them too.

Every contender is one file here, driven through its public API by `serve` in `protocol`, in a process of its own with
the Python of its own virtual environment. What a contender is told comes as one JSON object a line on its standard
input, what it answers as one a line on its standard output. The harness never imports a rival.

    prepare   make the queue's tables                     bulk      insert many jobs, as the library does it best
    start     start worker processes                      single    insert one job with its own commit
    stop      end them                                    singles   the same from many connections at once
                                                          produce   insert piece by piece, at a rate or flat out

The modules here that contenders import use the standard library only: they run in environments without Awa.
"""

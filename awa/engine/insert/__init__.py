"""Insert: put jobs into the log, one (`single`) or many (`bulk`), in the producer's transaction.

Many plain jobs go into ready batches at once (`direct_batches`); `copy_rows` writes the rows of a COPY.

In: a connection and checked jobs. Out: ids, and the jobs whose unique keys were taken.
"""

from smartpipe.container.gather cimport Gatherer


cdef class Batches(Gatherer):
    cdef object numpy              # the module

"""Which faithfulness scores agree with planted truth?"""
